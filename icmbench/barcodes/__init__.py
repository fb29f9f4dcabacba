"""`barcodes`: printed bar codes in photographs, with the outline and module size of every symbol.

From the outside in: `picture` (entry), `parcel`, `poster`, `tags` (labels, tags, strips), `sheets`
(paper, lettering), `contents` (numbers and texts), `symbols` (modules of a symbol), `sizes`,
`formats`. Sheets are pasted by `icmbench.pasted`.
"""
