"""What TensorRT and TensorRT-RTX share: engines, their side files, and the little of CUDA that running one takes."""
