"""Sets of presentation attacks on faces: publishers' layouts, protocols, and folders of prepared frames."""
