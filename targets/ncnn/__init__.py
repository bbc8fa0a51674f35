"""ncnn: networks on the CPUs of phones and small boards, converted by pnnx."""
