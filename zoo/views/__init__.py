"""A release for programs that feed a network in their own way: `zoo export NAME --for CONSUMER`.

    view        what a consumer feeds: layout, type, range, colors, batch
    wrapping    the release's graph behind that input, by onnx's own helpers
    libraries   what making a view needs
    recalibration
                int8 that a release does not ship, made again
    source      which file of a release, or result in the store, has a precision
    gate        whether the view gives the release's embedding of the golden input
    consumers   which views each consumer takes, and what it needs beside the graph
    deepstream, triton, ovms, trackers
                these files
    record      view.json, the manifest of what was written
    export      from a release to a folder, in one rename

Nothing here imports torch.
"""
