"""Hugging Face models behind one Forward: finding, loading, running and saving them; toy models for tests."""
