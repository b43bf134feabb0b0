"""`report.html`: a summary as one self-contained page. Python decides (`content`, `charts`), the templates lay out."""
