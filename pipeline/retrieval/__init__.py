"""Retrieval quality of embeddings: ranks, accuracy, re-ranking."""
