"""The Generic Interrupt Controller, versions 2 and 3."""
