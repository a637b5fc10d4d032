"""OCI images as this project uses them: named by reference, packed the same way every time."""
