"""The subcommands of `umbel`, one file each."""
