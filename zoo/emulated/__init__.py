"""Artifacts of a release on an emulated arm64 machine, compared with this machine. For correctness, never for times.

machine    the program qemu, and the processors it emulates
debian     the emulated machine's files: a small Debian, unpacked once into ZOO_HOME
wheels     a runtime's wheels for arm64, in the version that runs here
inside     the program that runs there: embeds images
running    one run of it
agreement  how far two sets of embeddings are apart, and how far they may be
candidates which artifacts can be emulated
checking   `zoo check`: from a release to records
"""
