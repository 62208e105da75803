"""A trained network as files that other programs run, with all that they must know of its inputs and answers.

    folder/
        model.onnx          raw columns, or pictures of bytes, in; natural units and probabilities out
        model.pt2           torch.export's program: the network's inputs, or pictures of bytes, in; the same answers out
        model.safetensors   the weights by name
        export.json         inputs, answers, quality, cost, sizes and SHA-256 of the files, measured differences
        run_export.py       runs model.onnx on new rows or pictures, without Umbel

`write` puts it together: `cases` are batches with the answers of the original network, `answering` is the network with
its decoding inside, `files` writes and loads the formats, `table_graph` is the preprocessing of columns as ONNX,
`check` compares, and `record` is what `export.json` says.
"""
