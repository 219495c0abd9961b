"""What computes: one module a runner; `torch` for any device, a native one for the CPU later."""
