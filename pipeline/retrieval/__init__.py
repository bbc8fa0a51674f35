"""How good embeddings are at retrieval: ranks, accuracy, re-ranking."""
