"""Virtio devices, their queues and their transport."""
