"""Publishing and pulling releases.

    places      folder, HTTP, S3, Hugging Face Hub: read, write whole files, change one file without losing a change
    index       list of releases; the only file that changes
    signing     signatures over manifests, by OpenSSF model-signing
    publish     from a release on this machine to a registry; yank, measurements, garbage
    cache       blobs and indexes from registries, on this machine
    pull        from a registry to a release on this machine

A registry is `index.json` and `blobs/aa/sha256`. All files but the index are named by their content, so releases can
share them, any mirror can serve them, and anybody can verify them.
"""
