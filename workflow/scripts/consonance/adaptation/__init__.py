"""Two-stage adaptation between domains (arXiv 2409.17899, sections IV-B and V-B).

`approaches` says what is trained, `stages` on what and in which order, `pooled` trains what needs
clip means only, `modules`, `front_end` and `training` what changes the encoder, `checkpoints`
keeps it, `tables` and `summaries` lay it out.
"""
