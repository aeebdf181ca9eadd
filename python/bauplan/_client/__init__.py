"""The parts of `bauplan.Client`: it drives the command `zerrow` as a process of its own."""
