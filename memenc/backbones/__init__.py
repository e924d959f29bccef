"""Hugging Face encoders as they are, with our attention in their layers."""
