"""From files to sequences of tokens: read, detect the format, tokenize with a loss mask, pack."""
