"""What a guest asks its host for by HLT #0xF000."""
