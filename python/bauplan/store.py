"""zerrow's store of objects under Bauplan's name."""

from zerrow.store import load_obj, save_obj

__all__ = ["load_obj", "save_obj"]
