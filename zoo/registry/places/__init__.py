"""Places of registries: a folder, HTTP, S3, the Hugging Face Hub, and what comes with zoo."""
