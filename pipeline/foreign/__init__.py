"""Networks that zoo did not train, from ONNX files.

    reading     a file into memory, refused where it can't be trusted or used
    settings    what the file takes and gives, as the release records it
    describing  these settings, from options and from the graph
    batching    any number of images per call
    wrapping    a graph with zoo's input and output

`pipeline.stages.foreign` runs them as a stage.
"""
