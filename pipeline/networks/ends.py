"""Names of the input and output of every graph that zoo writes."""

INPUT, OUTPUT = "images", "embeddings"  # uint8 N×H×W×3 RGB → float32 N×D of length 1
