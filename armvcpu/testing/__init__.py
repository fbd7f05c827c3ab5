"""Testing with real firmware: the store of images from Debian packages."""
