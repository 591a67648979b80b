"""A package, so that its browser ends with its last test: Playwright leaves its event loop running until then."""
