"""Where releases are published and pulled from.

    places      folder, HTTP, S3, Hugging Face Hub: read, write whole, change one file without losing a change
    index       which releases there are; the one file that changes
    signing     signatures over manifests, by OpenSSF model-signing
    publish     from a release here to a registry; yank, measurements, garbage
    cache       blobs and indexes that were seen, on this machine
    pull        from a registry to a release here

A registry is `index.json` and `blobs/aa/sha256`. Everything but the index is named by its content, so it can be shared
between releases, taken from any mirror, and checked by anybody.
"""
