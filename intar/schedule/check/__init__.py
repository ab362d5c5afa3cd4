"""The parts of `intar.schedule.validate`: facts, rules of stages, of memory, of cycles."""
