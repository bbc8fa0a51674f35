"""ExecuTorch: PyTorch's runtime for phones and small boards, by its XNNPACK kernels."""
