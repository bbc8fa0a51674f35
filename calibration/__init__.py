"""Quantisation of a student: calibration images, graphs in fp16 and int8, and the limit on the loss of accuracy."""
