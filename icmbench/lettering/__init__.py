"""`lettering`: pages, signs and labels on photographs, with the exact text and box of every line.

    picture = text_picture(photograph, seed=1, image_id="text-00007", kind="shop", 384, 256)

From the outside in: `picture` (places of sheets, light, camera, by `icmbench.pasted`), `pages` and
`signs` (the sheets), `board` (writing on a sheet), `words`, `fonts`.
"""
