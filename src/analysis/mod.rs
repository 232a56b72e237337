//! What is doubtful about the mesh as a whole? Pure: values in, findings out.
