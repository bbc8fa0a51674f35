"""From a model of the catalogue to a release.

    run       catalogue → plan → results → release
    launch    the same in several processes, one for each GPU
    received  results that were copied from devices
    results   results of a target's stages, as records
    record    the last stage: one folder with all files of a release

The stages themselves are `pipeline.stages`.
"""
