"""One life: its folder, its turns, their resumption."""
