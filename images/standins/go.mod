module ferromesh.dev/images/standins

go 1.24
