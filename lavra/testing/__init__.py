"""Floor 1: conformance suites of the ports, and of tasks' specs; an implementation is correct when its suite passes."""
