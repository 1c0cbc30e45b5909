"""What a reader sees in JupyterLab: charts, widgets, quiz, listings."""
