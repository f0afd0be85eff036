package erasure

import (
	"context"
	"maps"
	"slices"

	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/ledger"
)

// files lets the files of responses expire, and keeps the responses. A file that
// a document names which is kept longer stays.
func (s *Service) files(ctx context.Context, actor ledger.Actor, organization string, d Due, sql string, act *int64) (total int64, err error) {
	var old []string
	gone := map[string]bool{}
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		old = old[:0]
		rows := r.Query(sql+" ORDER BY id", organization, d.Before.UnixMilli())
		for rows.Next() {
			var id string
			rows.Scan(&id)
			old = append(old, id)
		}
		if err := rows.Close(); err != nil || len(old) == 0 {
			return err
		}
		is := map[string]bool{}
		for _, id := range old {
			is[id] = true
		}
		named := map[string]bool{} // by others
		err := r.Naming(func(doc, hash string) {
			if is[doc] {
				gone[hash] = true
			} else {
				named[hash] = true
			}
		})
		maps.DeleteFunc(gone, func(hash string, _ bool) bool { return named[hash] })
		return err
	})
	if err != nil {
		return 0, err
	}
	for part := range slices.Chunk(old, batch) {
		err := s.Ledger.Write(ctx, actor, "retention", func(tx *ledger.Tx) error {
			tx.Within(*act)
			expired := map[string]bool{}
			for _, id := range part {
				_, err := response.Responses.Update(tx, id, 0, func(b *response.Response) error {
					for i := range b.Attachments {
						if a := &b.Attachments[i]; a.Blob != "" {
							if gone[a.Blob] {
								expired[a.Blob] = true
							}
							a.Blob, a.Expired = "", true
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			_, err := Batches.Create(tx, organization, "", Batch{Class: d.Class, Files: slices.Sorted(maps.Keys(expired))})
			*act = tx.Act()
			return err
		})
		if err != nil {
			return total, err
		}
		total += int64(len(part))
	}
	return total, nil
}
