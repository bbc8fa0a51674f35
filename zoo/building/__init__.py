"""From a model of the catalogue to a release.

    run       catalogue → plan → results → release
    launch    the same in several processes, one for each GPU
    received  results that were brought from devices by hand
    results   what the stages found out about a target, as records
    record    the last stage: one folder with all of a release

The stages themselves are `pipeline.stages`.
"""
