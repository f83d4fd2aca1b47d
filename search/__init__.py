"""From questions to answers: queries, ranking, zero-shot classification."""
