"""LiteRT, formerly TensorFlow Lite: networks on the CPUs of phones and small boards."""
