"""What the command line says no to."""


class InputError(ValueError):
    """Something that the person at the keyboard can put right, said in one sentence."""
