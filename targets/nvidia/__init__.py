"""Shared by TensorRT and TensorRT-RTX: engines, their side files, and the CUDA calls to run one."""
