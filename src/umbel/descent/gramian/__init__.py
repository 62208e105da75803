"""Gramians of the tasks' gradients, and weighted sums of those, by engines that do without most of the gradients."""
