"""Floor 1: the HTML report. Stages describe sections as data; `Report` draws them on one self-contained page."""
