"""What an operation answered in front of moto gives back: a document, or an error as AWS names it."""

from typing import Any

Answer = dict[str, Any]


class ApiError(Exception):
    """An error answer: `code` as the API reference names it, and AWS's message where it is known."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
