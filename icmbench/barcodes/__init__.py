"""`barcodes`: printed bar codes in photographs, with the outline and module size of every symbol.

From the outside in: `picture` (entry), `sheets` (labels, tags, parcels, posters), `lettering`,
`contents` (numbers and texts), `symbols` (modules of a symbol), `formats`. Sheets are pasted by
`icmbench.pasted`.
"""
