"""Capacity Dynamic Distillation with retrieval-guided gradient resetting, in parts that are usable alone.

Xie et al., "Towards a Smaller Student: Capacity Dynamic Distillation for Efficient Image Retrieval", CVPR 2023.
"""
