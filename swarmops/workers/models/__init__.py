"""Models and what keeps them busy: embeddings, inference, chunks, collections of vectors, chat."""
