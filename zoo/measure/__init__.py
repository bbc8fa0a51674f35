"""A release, measured on this machine.

    measurable  what of it can be
    measuring   times of artifacts in turn, and their accuracy where the test set is here
    repeat      whether published figures can be had again

The protocol is that of its recipe, as in a build.
"""
