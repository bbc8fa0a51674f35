"""Places of registries: a folder, HTTP, S3, the Hugging Face Hub, an OCI registry, and what comes with zoo."""
