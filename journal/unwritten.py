"""What a function of a practice module does until the learner has written it."""


class Unwritten(Exception):
    """Raised by a stub. It counts itself, so that no test can pass by catching it."""

    raised = 0

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not written yet")
        type(self).raised += 1
